#!/bin/sh
# Starts this machine's part of a training that several processes share.
# What follows the script's name is handed to `python -m cnnlib`.
#
# One machine, one process per GPU:
#
#   cluster/torchrun.sh train resnet50 --data imagefolder:/data/imagenet \
#       --out runs/resnet50
#
# Four machines: the same on each of them, within a few minutes. HEAD is one
# of the four, the same for all; --out must be in a folder that all share.
#
#   MACHINES=4 HEAD=node07 cluster/torchrun.sh train resnet50 ... \
#       --out /shared/resnet50
#
# To go on with a training that was stopped, the words are instead:
#
#   train --resume --out /shared/resnet50
#
# MACHINES   how many machines take part (1)
# HEAD       the machine where all meet, perhaps with a port: HOST[:PORT]
# RUN        a name of this training, the same on all machines, if several
#            trainings meet at one place
# PROCESSES  processes on each machine (as many as it has GPUs; 1 without)
# PYTHON     the interpreter (python)
#
# If the machines do not find each other, they may have chosen the wrong
# network card. Name the right one:
#
#   export GLOO_SOCKET_IFNAME=eth1 NCCL_SOCKET_IFNAME=eth1
set -eu

PYTHON=${PYTHON:-python}
MACHINES=${MACHINES:-1}
if [ $# -eq 0 ]; then
    echo "usage: [MACHINES=N HEAD=HOST] $0 train NAME --data DATA ..." >&2
    exit 2
fi
if [ "$MACHINES" -gt 1 ] && [ -z "${HEAD:-}" ]; then
    echo "$0: $MACHINES machines need a place to meet: HEAD=HOST" >&2
    exit 2
fi
if [ -z "${PROCESSES:-}" ]; then
    gpus='import torch; print(max(1, torch.cuda.device_count()))'
    PROCESSES=$("$PYTHON" -c "$gpus")
fi

# Else every process takes all cores, and they get in each other's way.
if [ -z "${OMP_NUM_THREADS:-}" ]; then
    cores=$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
    OMP_NUM_THREADS=$((cores / PROCESSES))
    [ "$OMP_NUM_THREADS" -ge 1 ] || OMP_NUM_THREADS=1
    export OMP_NUM_THREADS
fi

# Seconds between a request to stop and the end by force. Processes agree
# every ten steps whether to stop, and then write the checkpoint.
: "${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:=120}"
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT

# This is torchrun, of the interpreter above. `accelerate launch --cpu` would
# start a single process, whatever it is asked for.
if [ "$MACHINES" -eq 1 ]; then
    set -- --standalone --nproc-per-node="$PROCESSES" -m cnnlib "$@"
else
    set -- --nnodes="$MACHINES" --nproc-per-node="$PROCESSES" \
        --rdzv-backend=c10d --rdzv-endpoint="$HEAD" \
        --rdzv-id="${RUN:-cnnlib}" -m cnnlib "$@"
fi
exec "$PYTHON" -m torch.distributed.run "$@"
