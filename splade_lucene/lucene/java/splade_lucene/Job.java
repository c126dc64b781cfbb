package splade_lucene;

/**
 * Long work on a thread of its own, waited for in short steps, so that Python sees a Ctrl-C between two of them.
 *
 * <p>Whoever abandons a job says so with {@link #cancel}; work that can stop early asks {@link #isCancelled}. Where the
 * work has filled the heap to its edge, nothing here allocates: a FutureTask, which may, would never end, and pyjnius
 * does not survive an OutOfMemoryError of its own calls.
 */
public final class Job {
  private final Thread thread;
  private volatile boolean cancelled;
  private byte[] answer; // these two are read when the thread has ended
  private Throwable failure;

  private Job(Work work) {
    thread =
        new Thread(
            () -> {
              try {
                answer = work.run(this);
              } catch (Throwable e) { // an OutOfMemoryError too must reach the caller
                failure = e;
              }
            },
            "splade-lucene-job");
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

  /** Waits at most so long for the end; true when the job has ended, well or not. */
  public boolean ended(int milliseconds) throws InterruptedException {
    thread.join(milliseconds);
    return !thread.isAlive();
  }

  /** The answer of an ended job; throws what the job threw. */
  public byte[] result() throws Throwable {
    if (failure != null) {
      throw failure;
    }
    return answer;
  }

  public void cancel() {
    cancelled = true;
  }

  boolean isCancelled() {
    return cancelled;
  }
}
