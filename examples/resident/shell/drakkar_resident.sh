# The resident protocol of Drakkar (docs/resident.md), for any POSIX shell. It
# needs jq and base64, and executor.resident.framing: lines.
#
# Source it, define a function that does a task from its arguments and its
# standard input, and end the script with
#
#     serve my_function "$@"
#
# What the script does before that, it does once for all tasks. The function
# runs in a subshell: exit ends the task, and set -e holds for each. What it
# leaves running must not keep its stdout, or the task lasts for as long. When
# the script was not started as a resident program, the function does the one
# task of the script's arguments.
#
# Of an argument that is not valid UTF-8, line breaks at its end are lost.

drakkar_nl='
'

# A line of shell for each request. A line break in an argument would end the
# line, so it stands there as a variable.
drakkar_jq='
def quoted: @sh | gsub("\n"; "'"'"'\"$drakkar_nl\"'"'"'");
def argument: if type == "object" then "\"$(printf %s \(.base64 | @sh) | base64 -d)\"" else quoted end;
def bytes: if type == "object" then .base64 else (. // "" | @base64) end;
"drakkar_id=\(.id); drakkar_stdin=\(.stdin | bytes | @sh); set -- \(.args | map(argument) | join(" "))"
'

serve() {
	drakkar_handle=$1
	shift
	case ${DRAKKAR_RESIDENT-} in
	'')
		"$drakkar_handle" "$@"
		exit
		;;
	lines) ;;
	*)
		echo "this program needs executor.resident.framing: lines, not $DRAKKAR_RESIDENT" >&2
		exit 1
		;;
	esac
	unset DRAKKAR_RESIDENT # not for our own children
	case $- in
	*e*) drakkar_errexit='set -e' ;;
	*) drakkar_errexit=: ;;
	esac
	set +e # a task that fails is no reason to end
	# The two streams of the protocol are kept away from everything else: 3 has
	# the requests, 4 takes the answers.
	exec 3<&0 4>&1 </dev/null >&2
	echo '{"ready":1}' >&4
	jq --unbuffered -r "$drakkar_jq" <&3 4>&- | {
		exec 3<&-
		while IFS= read -r drakkar_line; do
			eval "$drakkar_line"
			printf '{"id":%s,"stdout":{"base64":"' "$drakkar_id" >&4
			drakkar_code=$({
				printf %s "$drakkar_stdin" | base64 -d | {
					($drakkar_errexit; "$drakkar_handle" "$@" 4>&- 5>&-)
					printf %s "$?" >&5
				} | base64 | tr -d '\n' >&4
			} 5>&1)
			printf '"},"exit_code":%s}\n' "$drakkar_code" >&4
		done
	}
	exit
}
