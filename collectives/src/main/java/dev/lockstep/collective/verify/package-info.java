/// The symbolic check of a schedule: every contribution once, no deadlock, and the tree by which it
/// sums.
@NullMarked
package dev.lockstep.collective.verify;

import org.jspecify.annotations.NullMarked;
