/// The pure-Java device: kernels on the Vector API with scalar twins, and the team of threads that
/// runs them.
@NullMarked
package dev.lockstep.device.cpu;

import org.jspecify.annotations.NullMarked;
