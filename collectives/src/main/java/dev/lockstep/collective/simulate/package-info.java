/// Simulation: the schedules that the executor runs, timed on a described fabric, alike ranks
/// folded.
@NullMarked
package dev.lockstep.collective.simulate;

import org.jspecify.annotations.NullMarked;
