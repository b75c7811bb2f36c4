# Completion of instar for fish, written from its tables of options.
# For the link named qemu-img: complete -c qemu-img -w instar

# The verb of the line, if there is one before the cursor.
function __instar_verb
    set -l words (commandline -opc)
    set -e words[1]
    set -l skip no
    for word in $words
        if test $skip = yes
            set skip no
            continue
        end
        switch $word
            case '--*=*'
            case '-*'
                if contains -- $word $__instar_skipped
                    set skip yes
                end
            case '*'
                echo $word
                return
        end
    end
    return 1
end

function __instar_needs_verb
    not __instar_verb >/dev/null
end

function __instar_verb_is
    set -l verb (__instar_verb)
    test "$verb" = "$argv[1]"
end

# name=value,name=value, of the format that the line names.
function __instar_keys
    set -l verb (__instar_verb)
    set -l names (__instar_format_options $verb)
    set -l format $names[1]
    set -l words (commandline -opc)
    for i in (seq (count $words))
        for name in $names[2..-1]
            if test "$words[$i]" = $name
                set -l next (math $i + 1)
                if test $next -le (count $words)
                    set format $words[$next]
                end
            else if string match -q -- "$name=*" $words[$i]
                set format (string replace -r '^[^=]*=' '' -- $words[$i])
            else if not string match -q -- '--*' $name; and string match -q -- "$name?*" $words[$i]
                set format (string replace -- $name '' $words[$i])
            end
        end
    end
    set -l value (string replace -r '^--[a-z-]+=' '' -- (commandline -ct))
    set -l before (string match -r '^.*,' -- $value)
    set -l item (string replace -r '^.*,' '' -- $value)
    __instar_keys_of $verb $format | while read -d \t -l name text values
        if string match -q -- "$name=*" $item
            for word in (string split ' ' -- $values)
                printf '%s\n' "$before$name=$word"
            end
        else
            printf '%s\t%s\n' "$before$name=" $text
        end
    end
end

# Operands such as if=FILE.
function __instar_operands
    set -l token (commandline -ct)
    if string match -q -r '^(if|of)=' -- $token
        set -l head (string replace -r '=.*' '=' -- $token)
        for path in (__fish_complete_path (string replace -r '^[a-z]+=' '' -- $token))
            printf '%s\n' $head$path
        end
    else
        printf '%s\t%s\n' if= 'image to read' of= 'image to create' bs= 'bytes in a block' \
            count= 'stop after this block' skip= 'start after this block'
    end
end
