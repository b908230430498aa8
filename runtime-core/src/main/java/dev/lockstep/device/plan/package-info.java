/// What compilers of devices share: where the values of a graph lie while it runs, and the check of
/// the tensors that a program is bound to.
@NullMarked
package dev.lockstep.device.plan;

import org.jspecify.annotations.NullMarked;
