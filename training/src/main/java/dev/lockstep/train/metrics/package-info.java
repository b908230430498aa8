/// What a run tells of itself: records per step, progress and curves.
@NullMarked
package dev.lockstep.train.metrics;

import org.jspecify.annotations.NullMarked;
