/// Algorithms: pure functions from a collective request to its schedule.
@NullMarked
package dev.lockstep.collective.algorithm;

import org.jspecify.annotations.NullMarked;
