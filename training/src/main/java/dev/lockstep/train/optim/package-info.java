/// Optimizers, learning-rate schedules and gradient clipping.
@NullMarked
package dev.lockstep.train.optim;

import org.jspecify.annotations.NullMarked;
