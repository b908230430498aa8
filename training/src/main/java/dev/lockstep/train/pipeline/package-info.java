/// Pipeline parallelism: a lane program cut into chunks of layers, and the order in which stages
/// run their lanes and talk.
@NullMarked
package dev.lockstep.train.pipeline;

import org.jspecify.annotations.NullMarked;
