package dev.lockstep.device;

/// What a device is.
///
/// @param name for example `cpu:0`
/// @param description one line for people: model, caches, vector width, threads
/// @param threads compute threads
/// @param vectorBits width in use; 64 is the scalar path
/// @param hostAddressable whether the host reads and writes its buffers in place
public record DeviceInfo(
    String name, String description, int threads, int vectorBits, boolean hostAddressable) {}
