"""Times Gloo's collectives (PyTorch's, over TCP) as `lockstep perf` times Lockstep's.

RANK=r WORLD_SIZE=n MASTER_ADDR=a MASTER_PORT=p gloo_perf.py COLLECTIVE MIN MAX FACTOR ITERATIONS WARM_UPS dirty|clean

Rank 0 prints per size: bytes, the microseconds out of place and in place, how many operations were repeated, none, and how
they began. all_reduce, broadcast and reduce have one form, in place, that stands for both; gather and scatter have one out of
place, and a dash stands for the other. Ranks meet in a barrier before each operation, and the slowest rank counts: what a rank
waits for others that leave the barrier after it is in the time. Whoever waited for a common start by looking at the clock would
keep Gloo's own thread from the core that a rank is bound to. Clean buffers are timed by as many loops as `mpi_perf.c` runs, and by
its rule of when they run again.
"""

import statistics
import sys
import time

import torch
import torch.distributed as dist

# Of clean buffers, as in mpi_perf.c.
LOOPS, LOOPS_SECONDS = 9, 0.1
SLOW, RESTS, REST_SECONDS = 2, 5, 0.02
ROW, LONG_ROW, SHORT_BYTES = 20, 2, 64 << 10
ROUND_SECONDS, FIRST_ROWS, MOST_ROWS = 5e-3, 5, 500


def operation(name, tensor, count, ranks, rank, in_place):
    """Returns a function that runs the collective once, and what a rank writes before, as `mpi_perf.c` has it: a rank's part of
    what is gathered, nothing where the root alone gives. None where Gloo has no such form."""
    part = count // ranks
    parts = list(tensor[: part * ranks].split(part)) if part > 0 else []
    other = torch.zeros_like(tensor)
    nothing = tensor[:0]
    if name == "all_reduce":
        return lambda: dist.all_reduce(tensor[:count]), tensor[:count]
    if name == "broadcast":
        return lambda: dist.broadcast(tensor[:count], 0), tensor[:count] if rank == 0 else nothing
    if name == "reduce":
        return lambda: dist.reduce(tensor[:count], 0), tensor[:count]
    if name == "all_gather":
        mine = parts[rank] if in_place else parts[0]
        all_ = (tensor if in_place else other)[: part * ranks]
        return lambda: dist.all_gather_into_tensor(all_, mine), mine
    if name == "gather" and not in_place:
        into = list(other[: part * ranks].split(part)) if rank == 0 else None
        return lambda: dist.gather(parts[0], into, 0), parts[0]
    if name == "scatter" and not in_place:
        gives = parts if rank == 0 else None
        return lambda: dist.scatter(other[:part], gives, 0), tensor[: part * ranks] if rank == 0 else nothing
    return None


def agreed(number, op):
    """Returns what the ranks make of a number of each."""
    tensor = torch.tensor([number], dtype=torch.float64)
    dist.all_reduce(tensor, op)
    return tensor.item()


def dirty(run, written, iterations, warm_ups):
    """Returns the seconds of one operation, each after every rank has written its input."""
    for _ in range(warm_ups):
        run()
    times = torch.zeros(iterations, dtype=torch.float64)
    for i in range(iterations):
        written.fill_(float(i & 15))
        dist.barrier()
        one = time.perf_counter()
        run()
        times[i] = time.perf_counter() - one
    dist.all_reduce(times, dist.ReduceOp.MAX)
    return statistics.median(times.tolist())


def loop(run, iterations, ranks):
    """Returns the seconds of one operation in a loop, averaged over the ranks."""
    dist.barrier()
    start = time.perf_counter()
    for _ in range(iterations):
        run()
    return agreed((time.perf_counter() - start) / iterations, dist.ReduceOp.SUM) / ranks


def loops(run, iterations, ranks):
    """Returns the median of several loops."""
    means = [loop(run, iterations, ranks)]
    most = int(min(max(LOOPS_SECONDS / (means[0] * iterations), 1), LOOPS))
    means += [loop(run, iterations, ranks) for _ in range(most - 1)]
    return statistics.median(means)


def warm_up(run, warm_ups, row):
    """Warms up by rows of operations, a barrier behind each. Returns the seconds of one in the fastest round, by its slowest
    rank."""
    fastest, rows, done = float("inf"), FIRST_ROWS, 0
    while done < warm_ups:
        count = min(rows, -(-(warm_ups - done) // row))
        start = time.perf_counter()
        for _ in range(count):
            for _ in range(row):
                run()
            dist.barrier()
        seconds = agreed(time.perf_counter() - start, dist.ReduceOp.MAX)
        done += count * row
        fastest = min(fastest, seconds / count / row)
        if rows == FIRST_ROWS:
            rows = int(min(max(ROUND_SECONDS * count / seconds, 1), MOST_ROWS))
    return fastest


def clean(run, size, iterations, warm_ups, ranks):
    """Returns the seconds of one operation on unchanged buffers."""
    fastest = warm_up(run, warm_ups, min(iterations, ROW if size <= SHORT_BYTES else LONG_ROW))
    median = loops(run, iterations, ranks)
    for _ in range(RESTS):
        if median <= SLOW * fastest:
            break
        time.sleep(REST_SECONDS)
        median = loops(run, iterations, ranks)
    return median


def measured(run, written, size, iterations, warm_ups, is_dirty, ranks):
    """Returns the microseconds of one operation."""
    seconds = dirty(run, written, iterations, warm_ups) if is_dirty else clean(run, size, iterations, warm_ups, ranks)
    return seconds * 1e6


def main():
    name, least, most, factor, iterations, warm_ups = sys.argv[1], *map(int, sys.argv[2:7])
    is_dirty = sys.argv[7] == "dirty"
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, ranks = dist.get_rank(), dist.get_world_size()
    is_in_parts = name in ("all_gather", "gather", "scatter")
    is_in_place = name in ("all_reduce", "broadcast", "reduce")
    size = least
    while size <= most:
        count = size // 4 // ranks * ranks if is_in_parts else size // 4
        size *= factor
        if count == 0:
            continue
        tensor = torch.zeros(count)
        micros = []
        for in_place in [True] if is_in_place else [False, True]:
            found = operation(name, tensor, count, ranks, rank, in_place)
            micros.append(measured(*found, 4 * count, iterations, warm_ups, is_dirty, ranks) if found else None)
        if is_in_place:
            micros *= 2
        if rank == 0 and any(micros):
            times = " ".join("-" if one is None else f"{one:.3f}" for one in micros)
            starts = " ".join("-" if one is None else "barrier" for one in micros)
            print(f"{4 * count} {times} 0 {starts}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
