/// Processes of one node: started, watched, ended; and what they print.
@NullMarked
package dev.lockstep.launcher.process;

import org.jspecify.annotations.NullMarked;
