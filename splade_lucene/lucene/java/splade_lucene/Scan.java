package splade_lucene;

import io.anserini.index.Constants;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.lucene.index.BinaryDocValues;
import org.apache.lucene.index.DirectoryReader;
import org.apache.lucene.index.MultiBits;
import org.apache.lucene.index.MultiDocValues;
import org.apache.lucene.index.MultiTerms;
import org.apache.lucene.index.PostingsEnum;
import org.apache.lucene.index.Terms;
import org.apache.lucene.index.TermsEnum;
import org.apache.lucene.store.Directory;
import org.apache.lucene.store.FSDirectory;
import org.apache.lucene.util.ArrayUtil;
import org.apache.lucene.util.Bits;
import org.apache.lucene.util.BytesRef;
import org.apache.lucene.util.IOUtils;

/**
 * The vectors of all documents that are not deleted, in the order of the index, turned back out of the postings for a
 * window of documents at a time. It needs no block files, so that indexes of Anserini's can be read, too.
 *
 * <p>Heap: the postings of a window, some 30 bytes each.
 */
public final class Scan {
  private static final int WINDOW = 1 << 13; // documents

  private final Directory directory;
  private final DirectoryReader reader;
  private final Terms terms; // or null
  private final Bits live; // null: all are
  private int next; // the first document that was not read

  public Scan(String path) throws IOException {
    directory = FSDirectory.open(Path.of(path));
    DirectoryReader opened = null;
    try {
      opened = DirectoryReader.open(directory);
      terms = MultiTerms.getTerms(opened, Constants.CONTENTS);
    } catch (IOException | RuntimeException e) {
      IOUtils.closeWhileHandlingException(opened, directory);
      throw e;
    }
    reader = opened;
    live = MultiBits.getLiveDocs(reader);
  }

  public void close() throws IOException {
    IOUtils.close(reader, directory);
  }

  /** All terms in byte order, packed: the vocabulary of the vectors. */
  public byte[] terms() throws IOException {
    List<BytesRef> found = new ArrayList<>();
    TermsEnum each = each();
    for (BytesRef term = each.next(); term != null; term = each.next()) {
      found.add(BytesRef.deepCopyOf(term));
    }
    return Packed.pack(found);
  }

  private TermsEnum each() throws IOException {
    return terms == null ? TermsEnum.EMPTY : terms.iterator();
  }

  /**
   * The vectors of the next documents.
   *
   * @return {@code int32 n, int32[n + 1] indptr, int32[nnz] term ids, ascending for each document, int32[nnz] impacts,
   *     packed doc_ids}; null after the last one
   */
  public Job window() {
    return Job.start(
        job -> {
          int from = next;
          next = (int) Math.min(reader.maxDoc(), (long) from + WINDOW);
          return from == next ? null : new Window(from, next).read(job);
        });
  }

  private final class Window {
    private final int from;
    private final int to;
    private final int[] rows; // of each document, -1 where it is deleted
    private final List<BytesRef> ids = new ArrayList<>();
    private int[] postings = new int[3 << 10]; // row, term, impact, in the order of terms
    private int end;

    Window(int from, int to) throws IOException {
      this.from = from;
      this.to = to;
      rows = new int[to - from];
      BinaryDocValues found = MultiDocValues.getBinaryValues(reader, Constants.ID);
      for (int document = from; document < to; document++) {
        rows[document - from] = -1;
        if (live == null || live.get(document)) {
          if (found == null || !found.advanceExact(document)) {
            throw new IllegalArgumentException("document " + document + " has no doc values in field id");
          }
          rows[document - from] = ids.size();
          ids.add(BytesRef.deepCopyOf(found.binaryValue()));
        }
      }
    }

    byte[] read(Job job) throws IOException {
      TermsEnum each = each();
      PostingsEnum list = null;
      for (int term = 0; each.next() != null && !job.isCancelled(); term++) {
        list = each.postings(list, PostingsEnum.FREQS);
        for (int document = list.advance(from); document < to; document = list.nextDoc()) {
          if (rows[document - from] >= 0) {
            postings = ArrayUtil.grow(postings, Math.addExact(end, 3));
            postings[end++] = rows[document - from];
            postings[end++] = term;
            postings[end++] = list.freq();
          }
        }
      }
      return pack();
    }

    /** Sorts the postings by rows; those of one keep their order, by terms. */
    private byte[] pack() {
      int[] indptr = new int[ids.size() + 1];
      for (int i = 0; i < end; i += 3) {
        indptr[postings[i] + 1]++;
      }
      Arrays.parallelPrefix(indptr, Integer::sum);
      int[] at = indptr.clone();
      int[] termIds = new int[end / 3];
      int[] impacts = new int[end / 3];
      for (int i = 0; i < end; i += 3) {
        int place = at[postings[i]]++;
        termIds[place] = postings[i + 1];
        impacts[place] = postings[i + 2];
      }
      byte[] names = Packed.pack(ids);
      ByteBuffer packed =
          Packed.littleEndian(
              new byte[Math.addExact(Math.multiplyExact(Integer.BYTES, 1 + indptr.length + 2 * termIds.length), names.length)]);
      packed.putInt(ids.size());
      for (int[] column : new int[][] {indptr, termIds, impacts}) {
        packed.asIntBuffer().put(column);
        packed.position(packed.position() + Integer.BYTES * column.length);
      }
      return packed.put(names).array();
    }
  }
}
