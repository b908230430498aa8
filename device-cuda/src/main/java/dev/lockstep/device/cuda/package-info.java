/// NVIDIA's GPUs as devices.
///
/// A program is a list of launches of kernels (CUDA C++ resources of this module, compiled by NVRTC
/// for the very GPU that runs them) and of cuBLASLt's products, in one arena. Binding fixes all
/// addresses and records the launches into a CUDA graph; a run launches the graph.
///
/// **Note (threads)**: CUDA's current context belongs to a thread of the operating system. Every
/// entry makes the device's context current on the calling thread and stays on that thread until it
/// returns, so any thread may call and there is no thread of the device's own.
///
/// **Note (order)**: work of one stream runs in order. Programs that share an arena wait for one
/// another, whatever stream they run on.
@NullMarked
package dev.lockstep.device.cuda;

import org.jspecify.annotations.NullMarked;
