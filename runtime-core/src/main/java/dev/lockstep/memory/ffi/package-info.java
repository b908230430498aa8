/// The few functions of the C library that memory shared between processes needs; not exported.
@NullMarked
package dev.lockstep.memory.ffi;

import org.jspecify.annotations.NullMarked;
