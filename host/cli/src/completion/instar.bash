# Completion of instar for bash, written from its tables of options.
# Under the name qemu-img it completes only if that name leads to instar.
# shellcheck shell=bash

_instar() {
    local IFS=$' \t\n' words=() cur verb='' command='' option='' value argument prefix='' ended='' i
    COMPREPLY=()
    _instar_is_called "$1" || return 0
    _instar_rejoin
    cur=${words[-1]}
    for ((i = 1; i < ${#words[@]} - 1; i++)); do
        case ${words[i]} in
            --) ended=yes ;;
            --*=*) ;;
            -*)
                argument=$(_instar_argument "$verb" "${words[i]}")
                [[ -z $argument || $argument == optional* ]] || ((i++))
                ;;
            *) if [[ -z $verb ]]; then verb=${words[i]}; else command=${command:-${words[i]}}; fi ;;
        esac
    done
    argument=
    if [[ -z $ended && $cur == --*=* ]]; then
        prefix=${cur%%=*}= value=${cur#*=}
        argument=$(_instar_argument "$verb" "${cur%%=*}") || return 0
        argument=${argument#optional }
    elif [[ -z $ended && ${#words[@]} -gt 2 && ${words[-2]} == -?* ]]; then
        option=${words[-2]} value=$cur
        # Of letters in one word, the last takes the argument.
        [[ $option == --* ]] || option=-${option: -1}
        argument=$(_instar_argument "$verb" "$option")
        [[ $argument == optional* ]] && argument=
    fi
    if [[ -n $argument ]]; then
        _instar_complete_argument
    elif [[ -z $ended && $cur == -* ]]; then
        _instar_offer '' "$cur" "$(_instar_options "$verb")"
    elif [[ -z $verb ]]; then
        _instar_offer '' "$cur" "$(_instar_verbs)"
    elif [[ -z $command && -n $(_instar_commands "$verb") ]]; then
        _instar_offer '' "$cur" "$(_instar_commands "$verb")"
    elif [[ -n $(_instar_operands "$verb") ]]; then
        _instar_complete_operand
    else
        _instar_offer_files '' "$cur" -f
    fi
    _instar_cut
}

# Whether a name leads to instar.
_instar_is_called() {
    [[ ${1##*/} == instar ]] && return
    local place
    place=$(type -P -- "$1") && place=$(readlink -f -- "$place") && [[ ${place##*/} == instar ]]
}

# Words as they were typed: bash cuts them at = and : too.
_instar_rejoin() {
    local rest=${COMP_LINE:0:COMP_POINT} i
    for ((i = 0; i <= COMP_CWORD; i++)); do
        if ((i > 0)) && [[ $rest != [[:space:]]* ]]; then
            words[-1]+=${COMP_WORDS[i]}
        else
            rest=${rest#"${rest%%[![:space:]]*}"}
            words+=("${COMP_WORDS[i]}")
        fi
        rest=${rest#"${COMP_WORDS[i]}"}
    done
}

_instar_complete_argument() {
    case $argument in
        words\ *) _instar_offer "$prefix" "$value" "${argument#words }" ;;
        file) _instar_offer_files "$prefix" "$value" -f ;;
        directory) _instar_offer_files "$prefix" "$value" -d ;;
        keys) _instar_complete_keys ;;
    esac
}

# name=value,name=value: of the last pair, the name or the value.
_instar_complete_keys() {
    local format item=${value##*,} key
    local before=$prefix${value%"$item"}
    format=$(_instar_chosen_format)
    if [[ $item == *=* ]]; then
        key=${item%%=*}
        _instar_offer "$before$key=" "${item#*=}" "$(_instar_values "$verb" "$format" "$key")"
    else
        for key in $(_instar_keys "$verb" "$format"); do
            [[ $key == "$item"* ]] && COMPREPLY+=("$before$key=")
        done
        compopt -o nospace 2>/dev/null
    fi
}

# The format that the line names, or the one that is meant without a name.
_instar_chosen_format() {
    local names format i name
    read -r -a names <<<"$(_instar_format "$verb")"
    format=${names[0]}
    for ((i = 1; i < ${#words[@]} - 1; i++)); do
        for name in "${names[@]:1}"; do
            case ${words[i]} in
                "$name") format=${words[i + 1]} ;;
                "$name"=*) format=${words[i]#*=} ;;
                "$name"?*) [[ $name == --* ]] || format=${words[i]#"$name"} ;;
            esac
        done
    done
    echo "$format"
}

# Operands such as if=FILE.
_instar_complete_operand() {
    case $cur in
        if=* | of=*) _instar_offer_files "${cur%%=*}=" "${cur#*=}" -f ;;
        *=*) ;;
        *)
            _instar_offer '' "$cur" "$(_instar_operands "$verb")"
            compopt -o nospace 2>/dev/null
            ;;
    esac
}

# Offers those of the words $3 that begin with $2, behind $1.
_instar_offer() {
    local word
    for word in $3; do
        [[ $word == "$2"* ]] && COMPREPLY+=("$1$word")
    done
}

# Offers the files whose names begin with $2, behind $1.
_instar_offer_files() {
    local file
    while IFS= read -r file; do
        COMPREPLY+=("$1$file")
    done < <(compgen "$3" -- "$2")
    compopt -o filenames 2>/dev/null
}

# Of what is offered, takes away what bash has cut off the word already.
_instar_cut() {
    local breaks='' cut
    [[ $COMP_WORDBREAKS == *=* ]] && breaks+='='
    [[ $COMP_WORDBREAKS == *:* ]] && breaks+=':'
    [[ -n $breaks && $cur == *[$breaks]* ]] || return 0
    cut=${cur%"${cur##*[$breaks]}"}
    COMPREPLY=("${COMPREPLY[@]#"$cut"}")
}
