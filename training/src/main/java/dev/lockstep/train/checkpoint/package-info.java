/// Saving and loading of weights, optimizer state and position, so that a run continues bit for
/// bit.
@NullMarked
package dev.lockstep.train.checkpoint;

import org.jspecify.annotations.NullMarked;
