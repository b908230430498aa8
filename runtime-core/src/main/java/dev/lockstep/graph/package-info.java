/// Programs as data: sealed operations, values, shape inference and counts of work.
@NullMarked
package dev.lockstep.graph;

import org.jspecify.annotations.NullMarked;
