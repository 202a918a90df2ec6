#!/usr/bin/env bash
# A real Slurm on this machine, of Debian's packages (`apt-get install slurm-wlm`), to try suites on: docs/cluster.md.
#
#   box.sh up FOLDER [NODES]    controller and nodes with all their files in FOLDER; prints what to set for sbatch
#   box.sh kill FOLDER NODE     the node loses its power: every process of it is gone at once, and it says nothing
#   box.sh start FOLDER NODE    it is back
#   box.sh down FOLDER          all of it ends
#
# One node is this machine as it is, for any user. Several are namespaces of it (as root): each has a name, an address
# of 127.0.0.0/8 and processes of its own, as Debian's slurmd is not built to serve several names.
set -euo pipefail

verb=${1:?up, kill, start or down} folder=$(realpath -m "${2:?a folder}") host=$(hostname -s)

# A port that nobody listens on; slurmd and slurmctld take no port 0.
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# Starts the daemon of a node, in namespaces of its own where it is one of several.
node() {
  if [ "$1" = "$host" ]; then
    slurmd -D >"$folder/$1.out" 2>&1 &
  else
    # A node knows itself and the others by name, and dies with its first process.
    unshare --mount --uts --pid --fork --kill-child --mount-proc sh -c \
      "mount --bind '$folder/hosts' /etc/hosts && hostname $1 && exec slurmd -D" >"$folder/$1.out" 2>&1 &
  fi
  echo $! >"$folder/$1.pid"
}

export SLURM_CONF=$folder/slurm.conf
case $verb in
up)
  nodes=${3:-1}
  mkdir -p "$folder/state"
  if [ "$nodes" = 1 ]; then
    names=$host described="NodeName=$host NodeAddr=127.0.0.1 CPUs=2 RealMemory=4000"
  else
    names=() described=
    cp /etc/hosts "$folder/hosts"
    for number in $(seq "$nodes"); do
      names+=("node$number")
      described+="NodeName=node$number NodeAddr=127.0.0.$((number + 1)) CPUs=1 RealMemory=4000"$'\n'
      echo "127.0.0.$((number + 1)) node$number" >>"$folder/hosts"
    done
  fi
  cat >"$SLURM_CONF" <<CONF
ClusterName=bench
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/none
CredType=cred/none
SlurmctldPort=$(port)
SlurmdPort=$(port)
CommunicationParameters=NoInAddrAny
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool-%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd-%n.log
SlurmdTimeout=10
ProctrackType=proctrack/linuxproc
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
SlurmdParameters=config_overrides
MpiDefault=none
$described
PartitionName=main Nodes=ALL Default=YES
CONF
  slurmctld -D >"$folder/slurmctld.out" 2>&1 &
  echo $! >"$folder/controller.pid"
  for name in "${names[@]}"; do
    mkdir -p "$folder/spool-$name"
    node "$name"
  done
  for _ in $(seq 600); do
    [ "$(sinfo -h -N -t idle -o %N 2>/dev/null | wc -l)" = "$nodes" ] && break
    sleep 0.1
  done
  [ "$(sinfo -h -N -t idle -o %N | wc -l)" = "$nodes" ] || { echo "its nodes never came up; see $folder" >&2; exit 1; }
  echo "export SLURM_CONF=$SLURM_CONF"
  ;;
kill) kill -9 "$(cat "$folder/${3:?a node}.pid")" ;;
start) node "${3:?a node}" ;;
down)
  scancel -f -u "$(id -un)" 2>/dev/null || true
  scontrol shutdown 2>/dev/null || true
  for file in "$folder"/*.pid; do
    case $file in */slurmctld.pid | */slurmd-*) continue ;; esac
    kill -9 "$(cat "$file")" 2>/dev/null || true
  done
  ;;
*) echo "$verb is not up, kill, start or down" >&2; exit 2 ;;
esac
