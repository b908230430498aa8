package dev.lockstep.device.cpu;

/// Where everything lies while a program runs: the address of each value, scratch, and what
/// computes.
///
/// @param addresses by value id
/// @param kernels what computes
/// @param team who computes
/// @param shared scratch that a step's threads share
/// @param workers scratch of the first thread
/// @param workerBytes distance to the next thread's
@SuppressWarnings("ArrayRecordComponent") // never compared
record Frame(
    long[] addresses,
    KernelSet kernels,
    ThreadTeam team,
    long shared,
    long workers,
    long workerBytes) {
  /// Stands for a value that lies at the start of the shared scratch.
  static final int SHARED = -2;

  long at(int value) {
    return value == SHARED ? shared : addresses[value];
  }

  long scratch(int worker) {
    return workers + worker * workerBytes;
  }
}
