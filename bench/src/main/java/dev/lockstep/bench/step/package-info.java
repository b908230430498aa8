/// The benchmark of a training step: `lockstep perf step MODEL`.
@NullMarked
package dev.lockstep.bench.step;

import org.jspecify.annotations.NullMarked;
