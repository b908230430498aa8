/// CUDA's libraries as plain interfaces, one method per C function, and their implementation by the
/// foreign function interface. Addresses and handles are longs; what they point to must stay alive
/// while the library may use it.
@NullMarked
package dev.lockstep.device.cuda.ffi;

import org.jspecify.annotations.NullMarked;
