/// Schedules: what each rank sends, receives and reduces, step by step, as an immutable program.
@NullMarked
package dev.lockstep.collective.schedule;

import org.jspecify.annotations.NullMarked;
