/// The execution of schedules over any transport.
@NullMarked
package dev.lockstep.collective.execute;

import org.jspecify.annotations.NullMarked;
