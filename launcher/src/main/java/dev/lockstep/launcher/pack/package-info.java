/// A folder that runs on a machine without Java: a trimmed runtime, the jars and the command.
@NullMarked
package dev.lockstep.launcher.pack;

import org.jspecify.annotations.NullMarked;
