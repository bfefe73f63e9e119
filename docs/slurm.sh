#!/bin/bash
# A grid on a Ray cluster under Slurm:
#   sbatch --nodes 4 --cpus-per-task 16 --time 8:00:00 slurm.sh GRID.json OUT_DIR
# Submitted again with the same folder it does what is left.
#SBATCH --job-name=unweave-grid
#SBATCH --ntasks-per-node=1
#SBATCH --signal=B:INT@120
set -euo pipefail

grid=${1:?usage: sbatch slurm.sh GRID.json OUT_DIR}
out=${2:?usage: sbatch slurm.sh GRID.json OUT_DIR}
cpus=${SLURM_CPUS_PER_TASK:-1}
port=${RAY_PORT:-$((10000 + SLURM_JOB_ID % 20000))}
export RAY_USAGE_STATS_ENABLED=${RAY_USAGE_STATS_ENABLED:-0} OMP_NUM_THREADS=1

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
address=$(srun --overlap --nodes=1 --ntasks=1 -w "$head" hostname -I | awk '{print $1}')

echo "Ray's head on $head ($address:$port)"
srun --overlap --nodes=1 --ntasks=1 -w "$head" \
    ray start --head --node-ip-address="$address" --port="$port" --num-cpus="$cpus" \
    --include-dashboard=false --block &
for _ in {1..60}; do
    ray health-check --address "$address:$port" > /dev/null 2>&1 && break
    sleep 2
done

for node in "${nodes[@]:1}"; do
    srun --overlap --nodes=1 --ntasks=1 -w "$node" \
        ray start --address="$address:$port" --num-cpus="$cpus" --block &
done

# Two minutes before the time limit Slurm sends INT to this script, which passes it on: every run then stops
# after its step, with a checkpoint. Machines that join later are used at once, so nothing waits for them.
unweave grid "$grid" --out "$out" --engine ray --address "$address:$port" &
driver=$!
trap 'kill -INT "$driver"' INT TERM
status=0
wait "$driver" || status=$?
# A trapped signal ends the first wait: the driver is still writing its checkpoints.
while kill -0 "$driver" 2> /dev/null; do
    status=0
    wait "$driver" || status=$?
done
srun --overlap --ntasks-per-node=1 ray stop > /dev/null 2>&1 || true
exit "$status"
