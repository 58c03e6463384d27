#!/bin/sh
# Prints a digest of its standard input; the argument names the algorithm.

. "$(dirname "$0")/drakkar_resident.sh"

digest() {
	case ${1-sha256} in
	none) cat ;;
	sha256 | md5)
		echo "computing ${1-sha256}" >&2
		"${1-sha256}sum" | cut -d ' ' -f 1
		;;
	*)
		echo "unknown algorithm $1" >&2
		return 2
		;;
	esac
}

serve digest "$@"
