package splade_lucene;

import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;

/**
 * Long work on a thread of its own, waited for in short steps, so that Python sees a Ctrl-C between two of them.
 *
 * <p>Whoever abandons a job says so with {@link #cancel}; work that can stop early asks {@link #isCancelled}.
 */
public final class Job {
  private final FutureTask<byte[]> task;
  private final Thread thread;
  private volatile boolean cancelled;

  private Job(Work work) {
    task = new FutureTask<>((Callable<byte[]>) () -> work.run(this));
    thread = new Thread(task, "splade-lucene-job");
    thread.setDaemon(true);
    thread.start();
  }

  /** What a job does; the answer is packed bytes, or null. */
  @FunctionalInterface
  interface Work {
    byte[] run(Job job) throws Exception;
  }

  static Job start(Work work) {
    return new Job(work);
  }

  /**
   * Waits at most so long for the end; true when the job has ended, well or not. Allocates nothing: while the job fills
   * the heap to its edge, an OutOfMemoryError thrown here would hit pyjnius, which does not survive it.
   */
  public boolean ended(int milliseconds) throws InterruptedException {
    thread.join(milliseconds);
    return !thread.isAlive();
  }

  /** The answer of an ended job; throws what the job threw. */
  public byte[] result() throws Throwable {
    try {
      return task.get();
    } catch (ExecutionException e) {
      throw e.getCause();
    }
  }

  public void cancel() {
    cancelled = true;
  }

  boolean isCancelled() {
    return cancelled;
  }
}
