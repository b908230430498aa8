/// Jobs and their ranks: who launched this process, which rank it is, and the store that ranks meet
/// at.
@NullMarked
package dev.lockstep.job;

import org.jspecify.annotations.NullMarked;
