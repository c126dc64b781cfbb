package splade_lucene;

import org.apache.lucene.util.Bits;

/**
 * The k best documents of a query, in the one order: score descending, then doc_id ascending as bytes.
 *
 * <p>A binary heap in two arrays, the worst hit at the root.
 */
final class TopHits {
  private final int[] ranks;
  private final long[] scores;
  private final int[] documents;
  private int size;

  /** @param ranks the place of each document's doc_id in byte order */
  TopHits(int k, int[] ranks) {
    this.ranks = ranks;
    scores = new long[k];
    documents = new int[k];
  }

  /** Looks at the scores of n documents from docBase on; 0 is no hit. */
  void collect(long[] found, int n, int docBase, Bits live, int liveBase) {
    long bar = bar();
    for (int i = 0; i < n; i++) {
      if (found[i] >= bar && (live == null || live.get(liveBase + i))) {
        offer(docBase + i, found[i]);
        bar = bar();
      }
    }
  }

  /** What a document must score at least to matter. */
  private long bar() {
    return size < scores.length ? 1 : scores[0];
  }

  private void offer(int document, long score) {
    if (size < scores.length) {
      int child = size++;
      while (child > 0 && worse(score, document, (child - 1) >>> 1)) {
        int parent = (child - 1) >>> 1;
        move(parent, child);
        child = parent;
      }
      put(child, document, score);
    } else if (!worse(score, document, 0)) {
      sink(document, score);
    }
  }

  /** Replaces the root. */
  private void sink(int document, long score) {
    int parent = 0;
    while (true) {
      int child = 2 * parent + 1;
      if (child >= size) {
        break;
      }
      if (child + 1 < size && worse(scores[child + 1], documents[child + 1], child)) {
        child++;
      }
      if (worse(score, document, child)) {
        break;
      }
      move(child, parent);
      parent = child;
    }
    put(parent, document, score);
  }

  private boolean worse(long score, int document, int than) {
    return score != scores[than] ? score < scores[than] : ranks[document] > ranks[documents[than]];
  }

  private void move(int from, int to) {
    put(to, documents[from], scores[from]);
  }

  private void put(int at, int document, long score) {
    documents[at] = document;
    scores[at] = score;
  }

  int capacity() {
    return scores.length;
  }

  int size() {
    return size;
  }

  /** Empties the heap into two arrays, best first, from {@code start} on. */
  void drain(int[] bestDocuments, long[] bestScores, int start) {
    while (size > 0) {
      int at = start + size - 1;
      bestDocuments[at] = documents[0];
      bestScores[at] = scores[0];
      size--;
      sink(documents[size], scores[size]);
    }
  }
}
