#compdef instar
# Completion of instar for zsh, written from its tables of options.
# For the link named qemu-img: compdef _instar qemu-img

_instar() {
    local curcontext=$curcontext state line ret=1
    typeset -A opt_args
    _instar_top && ret=0
    case $state in
    verb) _instar_verbs && ret=0 ;;
    rest) _instar_arguments "$words[1]" && ret=0 ;;
    esac
    return ret
}

# name=value,name=value, of the format that the line names. The line begins with the verb.
_instar_keys() {
    local -a reply
    _instar_format_options "$words[1]" || return
    local format=$reply[1] name word
    local -i i
    for ((i = 2; i < CURRENT; i++)); do
        word=$words[i]
        for name in $reply[2,-1]; do
            case $word in
            $name) format=$words[i+1] ;;
            $name=*) format=${word#*=} ;;
            $name?*) [[ $name = --* ]] || format=${word#$name} ;;
            esac
        done
    done
    _instar_keys_of "$words[1]" "$format"
}

# Operands such as if=FILE.
_instar_operands() {
    if compset -P '(if|of)='; then
        _files
    elif ! compset -P '*='; then
        _values -w operand 'if[image to read]:file:_files' 'of[image to create]:file:_files' 'bs[bytes in a block]: : ' \
            'count[stop after this block]: : ' 'skip[start after this block]: : '
    fi
}
