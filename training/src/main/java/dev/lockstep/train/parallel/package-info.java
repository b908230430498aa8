/// Who computes which part of a step: lanes, their tree, and the programs of lane and step.
@NullMarked
package dev.lockstep.train.parallel;

import org.jspecify.annotations.NullMarked;
