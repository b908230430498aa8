/// Layers, as functions that add operations to a graph.
@NullMarked
package dev.lockstep.train.nn;

import org.jspecify.annotations.NullMarked;
