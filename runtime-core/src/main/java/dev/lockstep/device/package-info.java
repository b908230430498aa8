/// The contract between the runtime and whatever computes: devices, buffers, streams and programs.
@NullMarked
package dev.lockstep.device;

import org.jspecify.annotations.NullMarked;
