/// What this machine offers to training, what is missing and how to mend it.
@NullMarked
package dev.lockstep.launcher.doctor;

import org.jspecify.annotations.NullMarked;
