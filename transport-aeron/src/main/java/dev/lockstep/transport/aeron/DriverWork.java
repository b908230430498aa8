package dev.lockstep.transport.aeron;

import org.agrona.concurrent.Agent;
import org.agrona.concurrent.AgentInvoker;
import org.agrona.concurrent.AgentTerminationException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// The work of an agent that a rank's own threads move. The invoker would end the agent for good as
/// soon as one of them is interrupted while there is nothing to do: threads are the user's to
/// interrupt, the driver is the job's.
final class DriverWork {
  private static final Logger LOG = LoggerFactory.getLogger(DriverWork.class);

  private final AgentInvoker invoker;
  private final Agent agent;

  /// @param invoker started; whoever made it closes it
  DriverWork(AgentInvoker invoker) {
    this.invoker = invoker;
    this.agent = invoker.agent();
  }

  /// Does what there is to do.
  ///
  /// @return amount of work done
  int turn() {
    if (invoker.isClosed()) {
      return 0;
    }
    try {
      return agent.doWork();
    } catch (AgentTerminationException ended) {
      LOG.debug("agent of aeron has ended: {}", agent.roleName(), ended);
      invoker.close();
    } catch (Exception failure) {
      LOG.debug("agent of aeron", failure);
    }
    return 0;
  }
}
