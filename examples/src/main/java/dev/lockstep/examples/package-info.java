/// Jobs that the `lockstep run` command starts by name.
@NullMarked
package dev.lockstep.examples;

import org.jspecify.annotations.NullMarked;
