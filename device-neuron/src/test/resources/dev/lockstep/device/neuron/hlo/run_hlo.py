"""Runs HLO modules by XLA on the host's processor.

usage: run_hlo.py FOLDER [RANK RANKS PORT]

FOLDER/manifest.json lists runs: the number of replicas, and the module that all of them have or one for each, with its
file and its parameters' element types and shapes. Parameter I of replica R of run N is in N.R.in.I, result I goes to
N.R.out.I, raw and row-major. Replicas of one module are devices of one process; where each has a module of its own,
each is a process, which is told its rank and the first one's port.
"""

import json
import os
import pathlib
import sys

FOLDER = pathlib.Path(sys.argv[1])
RANK, RANKS, PORT = [int(each) for each in sys.argv[2:]] or (0, 1, 0)
os.environ["JAX_PLATFORMS"] = "cpu"
if RANKS == 1:
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"

import jax
import ml_dtypes
import numpy as np
from jax._src import xla_bridge
from jax._src.interpreters import mlir as jax_mlir
from jax._src.lib import _jax
from jax._src.lib import xla_client as xc
from jax._src.lib.mlir import ir
from jax.sharding import Mesh, NamedSharding, PartitionSpec

TYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "BF16": ml_dtypes.bfloat16,
    "F16": np.float16,
    "F8_E4M3FN": ml_dtypes.float8_e4m3fn,
    "F8_E4M3": ml_dtypes.float8_e4m3,
    "F8_E5M2": ml_dtypes.float8_e5m2,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
}


def compiled(proto, devices):
    computation = xc.XlaComputation(proto)
    text = _jax.mlir.xla_computation_to_mlir_module(computation)
    module = ir.Module.parse(text, context=jax_mlir.make_ir_context())
    options = xc.CompileOptions()
    options.num_replicas = len(devices)
    options.num_partitions = 1
    ids = np.array([device.id for device in devices])
    options.device_assignment = xc.DeviceAssignment.create(ids.reshape(len(devices), 1))
    return xla_bridge.get_backend("cpu").compile_and_load(module, _jax.DeviceList(tuple(devices)), options)


def run(number, replicas, module):
    devices = jax.devices("cpu")[:replicas]
    mine = [(replica, device) for replica, device in enumerate(devices) if device.process_index == RANK]
    executable = compiled((FOLDER / module["file"]).read_bytes(), devices)
    everywhere = NamedSharding(Mesh(np.array(devices), ("replica",)), PartitionSpec())
    arguments = []
    for i, parameter in enumerate(module["parameters"]):
        shape = tuple(parameter["shape"])
        shards = []
        for replica, device in mine:
            raw = (FOLDER / f"{number}.{replica}.in.{i}").read_bytes()
            elements = np.frombuffer(raw, dtype=TYPES[parameter["dtype"]]).reshape(shape)
            shards.append(jax.device_put(elements, device))
        arguments.append(jax.make_array_from_single_device_arrays(shape, everywhere, shards))
    results = executable.execute_sharded(arguments).disassemble_into_single_device_arrays()
    for i, shards in enumerate(results):
        for (replica, _), shard in zip(mine, shards):
            (FOLDER / f"{number}.{replica}.out.{i}").write_bytes(np.asarray(shard).tobytes())


def main():
    jax.config.update("jax_enable_x64", True)
    if RANKS > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(f"127.0.0.1:{PORT}", num_processes=RANKS, process_id=RANK)
    for number, each in enumerate(json.loads((FOLDER / "manifest.json").read_text())):
        modules = each["modules"]
        if len(modules) == RANKS:
            run(number, each["replicas"], modules[RANK])


main()
