"""Times Gloo's collectives (PyTorch's, over TCP) as `lockstep perf` times Lockstep's.

RANK=r WORLD_SIZE=n MASTER_ADDR=a MASTER_PORT=p gloo_perf.py COLLECTIVE MIN MAX FACTOR ITERATIONS WARM_UPS dirty|clean

Rank 0 prints per size: bytes, and the microseconds in place twice, where Gloo has no other form,
how many operations were repeated, none, and how they began: ranks meet in a barrier. Whoever waited for a common start by looking at
the clock would keep Gloo's own thread from the core that a rank is bound to.
"""

import sys
import time

import torch
import torch.distributed as dist


def operation(name, tensor, count, ranks, rank):
    """Returns a function that runs the collective once, or None where Gloo has none."""
    part = tensor[: count // ranks]
    if name == "all_reduce":
        return lambda: dist.all_reduce(tensor[:count])
    if name == "broadcast":
        return lambda: dist.broadcast(tensor[:count], 0)
    if name == "reduce":
        return lambda: dist.reduce(tensor[:count], 0)
    if name == "all_gather":
        parts = [torch.empty_like(part) for _ in range(ranks)]
        return lambda: dist.all_gather(parts, part)
    if name == "gather":
        parts = [torch.empty_like(part) for _ in range(ranks)] if rank == 0 else None
        return lambda: dist.gather(part, parts, 0)
    if name == "scatter":
        parts = [torch.empty_like(part) for _ in range(ranks)] if rank == 0 else None
        return lambda: dist.scatter(part, parts, 0)
    return None


def main():
    name, least, most, factor, iterations, warm_ups = sys.argv[1], *map(int, sys.argv[2:7])
    dirty = sys.argv[7] == "dirty"
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, ranks = dist.get_rank(), dist.get_world_size()
    size = least
    while size <= most:
        tensor = torch.zeros(max(1, size // 4))
        run = operation(name, tensor, size // 4, ranks, rank)
        if run is None or (name in ("all_gather", "gather", "scatter") and size // 4 < ranks):
            size *= factor
            continue
        for _ in range(warm_ups):
            run()
        times = torch.zeros(iterations, dtype=torch.float64)
        dist.barrier()
        start = time.perf_counter()
        for i in range(iterations):
            if dirty:
                tensor.fill_(float(i & 15))
                dist.barrier()
            one = time.perf_counter()
            run()
            times[i] = time.perf_counter() - one
        mean = torch.tensor([(time.perf_counter() - start) / iterations], dtype=torch.float64)
        dist.all_reduce(times, dist.ReduceOp.MAX)
        dist.all_reduce(mean)
        micros = (times.median().item() if dirty else mean.item() / ranks) * 1e6
        if rank == 0:
            print(f"{size} {micros:.3f} {micros:.3f} 0 barrier barrier", flush=True)
        size *= factor
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
