#!/bin/sh
# Plays a container engine in the folder that holds it: images and containers are files, a container's command is run
# on the tree that was brought, and every call is written down.
here=$(dirname "$0")
state=$here/state
mkdir -p "$state/containers" "$state/images"
printf '%s\n' "$*" >>"$state/calls"
case "$1 $2" in
"image inspect")
  for name; do :; done
  file=$state/images/$(printf %s "$name" | tr '/:' '__')
  [ -f "$file" ] || { echo "Error: No such image: $name" >&2; exit 1; }
  printf '%s ["PATH=/usr/local/bin:/usr/bin:/bin"]\n' "$(cat "$file")" ;;
"pull --quiet")
  [ -f "$state/registry" ] || { echo "Error: no registry" >&2; exit 1; }
  id=$(cat "$state/registry")
  for name in "$3" "$id"; do printf %s "$id" >"$state/images/$(printf %s "$name" | tr '/:' '__')"; done ;;
"container ls") ls "$state/containers" ;;
"container create")
  : >"$state/words"
  for word; do printf '%s\0' "$word" >>"$state/words"; done
  name=
  while [ $# -gt 0 ]; do
    [ "$1" = --name ] && name=$2
    [ $# -eq 3 ] && mark=$1 && command=$2
    shift
  done
  mkdir "$state/containers/$name"
  printf %s "$mark" >"$state/containers/$name/mark"
  printf %s "$command" >"$state/containers/$name/command" ;;
"container cp")
  name=${4%:/}
  mkdir -p "$state/containers/$name/root"
  exec tar -x -C "$state/containers/$name/root" ;;
"container start")
  for name; do :; done
  own=$state/containers/$name
  [ -f "$state/broken" ] && { echo "Error: no runtime" >&2; exit 125; }
  cd "$own/root/.runproof/tree" || exit 125
  cat "$own/mark"; echo
  setsid sh -c "$(cat "$own/command")" 2>&1 &
  echo $! >"$own/process"
  wait $!
  echo $? >"$own/exit" ;;
"container inspect")
  for name; do :; done
  case "$*" in
  *SizeRw*) cat "$state/size" 2>/dev/null || echo 0 ;;
  *) echo "exited $(cat "$state/containers/$name/exit") $([ -f "$state/oom" ] && echo true || echo false)" ;;
  esac ;;
"container top")
  echo PID
  seq "$(cat "$state/processes" 2>/dev/null || echo 1)" ;;
"container rm")
  for name; do :; done
  kill -KILL "-$(cat "$state/containers/$name/process" 2>/dev/null)" 2>/dev/null
  # Away first: the start that is ended here may be about to write how it ended.
  mv "$state/containers/$name" "$state/removed-$$" 2>/dev/null
  rm -rf "$state/removed-$$" ;;
*) echo "Error: unknown: $*" >&2; exit 1 ;;
esac
