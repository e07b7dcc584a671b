#!/bin/bash
# SLURM on two nodes, n1 and n2, each in namespaces of its own on a bridge; FOLDER has slurm.conf and munge.key.
# Runs as the first process of namespaces that its caller made: with it everything below it ends. No `exec`: bash, as
# such a process, takes the exit codes of orphans.
set -euo pipefail
folder="$1"

node() { # what runs in a node's namespaces
  hostname "$1"
  until ip link show "$1" >/dev/null 2>&1; do sleep 0.02; done
  ip link set lo up
  ip address add "10.77.0.$2/24" dev "$1"
  ip link set "$1" up
  mkdir -p /tmp/ray
  mount -t tmpfs none /tmp/ray # a machine has its own
  slurmd -D -f "$folder/slurm.conf" -N "$1" -L "$folder/slurmd-$1.log"
}
export -f node
export folder

hostname controller
ip link set lo up
ip link add bridge type bridge
ip address add 10.77.0.1/24 dev bridge
ip link set bridge up
munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
  --log-file="$folder/munged.log" --seed-file="$folder/munge.seed"

number=1
for name in n1 n2; do
  number=$((number + 1))
  unshare --net --uts --mount --pid --fork --kill-child --mount-proc bash -c "node $name $number" &
  outer=$!
  until inner="$(<"/proc/$outer/task/$outer/children")" && [[ -n $inner ]]; do sleep 0.02; done
  ip link add "to_$name" type veth peer name "$name"
  ip link set "to_$name" master bridge up
  ip link set "$name" netns "${inner% }"
done
slurmctld -D -f "$folder/slurm.conf" -L "$folder/slurmctld.log"
