package dev.lockstep.device;

/// A program with its tensors; run again and again by [Stream#run] without allocation.
public interface BoundProgram {
  /// Returns the program.
  Program program();
}
