/// Whole models made of layers.
@NullMarked
package dev.lockstep.train.model;

import org.jspecify.annotations.NullMarked;
