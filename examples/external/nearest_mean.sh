#!/bin/sh
# The nearest class mean, by sh, od, awk and `nc -U`: an arm needs no more than a socket and its files.
set -eu

mkfifo ask answer
nc -U "$PALIMPSEST_SOCKET" < answer > ask &
exec 3> answer 4< ask

say() { printf '%s\n' "$1" >&3; }
text() { printf '%s' "$line" | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }
number() { printf '%s' "$line" | sed -n "s/.*\"$1\": *\([0-9]*\).*/\1/p"; }

# The values of a .npy file of version 1.0, a row a line: values FILE TYPE ROW-BYTES.
values() {
    header=$(od -An -tu2 -j8 -N2 "$folder/$1")
    od -An -v -t "$2" -w"$3" -j $((10 + header)) "$folder/$1"
}

say '{"hello":{"protocol":1,"takes":["batch_size"]}}'
while read -r line <&4; do
    case $line in
    '{"begin"'*)
        folder=$(text folder) classes=$(number classes) size=$(number batch_size)
        row=$(printf '%s' "$line" | sed 's/.*"shape": *\[\([0-9, ]*\)\].*/\1/; s/,/*/g')
        row=$((4 * ($row)))
        say '{"ready":{}}'
        ;;
    '{"data"'*)
        values "$(text inputs)" f4 $row > inputs
        values "$(text labels)" d8 8 | paste -d ' ' - inputs > examples
        : > means
        say '{"loaded":{}}'
        ;;
    '{"train"'*)
        # Whole steps up to the one that reaches `until`, or the end of the epoch.
        from=$(number from) until=$(number until) to=$(number to)
        end=$((from + (until - from + size - 1) / size * size))
        [ $end -le "$to" ] || end=$to
        values "$(text order)" u4 4 | sed -n "$((from + 1)),${end}p" > ids
        # A line a class: its number, how many examples it had, their sum.
        awk -v OFS=' ' '
            FILENAME == "means" { count[$1] = $2; for (k = 3; k <= NF; k++) sum[$1, k] = $k; width = NF; next }
            FILENAME == "ids" { seen[$1 + 0]++; next }
            FNR - 1 in seen { count[$1]++; for (k = 2; k <= NF; k++) sum[$1, k + 1] += $k; width = NF + 1 }
            END { for (c in count) { printf "%d %d", c, count[c]; for (k = 3; k <= width; k++) printf " %.9g", sum[c, k]; print "" } }
        ' means ids examples > more
        mv more means
        # No step is one of 0 times: a stretch may be shorter than a batch.
        whole=$(((end - from) / size)) rest=$(((end - from) % size)) steps=
        [ $whole = 0 ] || steps="[$size,$whole]"
        [ $rest = 0 ] || steps="${steps:+$steps,}[$rest,1]"
        say "{\"consumed\":{\"steps\":[$steps]}}"
        ;;
    '{"evaluate"'*)
        # Outputs are 4 for the nearest mean and 0 for the others: 4 as a little-endian float is 00 00 80 40.
        split=$(text split) rows=$(number rows)
        {
            head="{'descr': '<f4', 'fortran_order': False, 'shape': ($rows, $classes), }"
            printf '\223NUMPY\001\000v\000%-117s\n' "$head"
            touch means
            values "$(text inputs)" f4 $row | awk -v classes="$classes" '
                FILENAME == "means" { for (k = 3; k <= NF; k++) mean[$1, k] = $k / $2; seen[$1]; next }
                { best = ""; for (c in seen) { far = 0; for (k = 1; k <= NF; k++) far += ($k - mean[c, k + 2]) ^ 2
                  if (best == "" || far < least) { best = c; least = far } }
                  for (c = 0; c < classes; c++) printf "%s", c == best && best != "" ? "\\000\\000\\200\\100" : "\\000\\000\\000\\000" 
                  print "" }
            ' means - | while read -r octal; do printf "$octal"; done
        } > "$folder/$split-outputs.npy"
        say "{\"outputs\":{\"file\":\"$split-outputs.npy\"}}"
        ;;
    '{"facts"'*) say '{"facts":{}}' ;;
    '{"save"'*) say '{"saved":{}}' ;;
    '{"end"'*) say '{"bye":{}}' && exit ;;
    *) printf '%s\n' "$line" >&2 && exit 1 ;;
    esac
done
