package splade_lucene;

import io.anserini.index.Constants;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.lucene.index.BinaryDocValues;
import org.apache.lucene.index.DirectoryReader;
import org.apache.lucene.index.IndexReader;
import org.apache.lucene.index.MultiBits;
import org.apache.lucene.index.MultiDocValues;
import org.apache.lucene.index.MultiTerms;
import org.apache.lucene.index.PostingsEnum;
import org.apache.lucene.index.Terms;
import org.apache.lucene.index.TermsEnum;
import org.apache.lucene.search.DocIdSetIterator;
import org.apache.lucene.store.ByteBuffersDataOutput;
import org.apache.lucene.store.DataOutput;
import org.apache.lucene.store.Directory;
import org.apache.lucene.store.FSDirectory;
import org.apache.lucene.store.OutputStreamDataOutput;
import org.apache.lucene.util.Bits;
import org.apache.lucene.util.BytesRef;

/**
 * An index as one file in the Common Index File Format: a header, the posting lists in byte order of their terms, and a
 * record of each document, each of them a protobuf message behind its length.
 *
 * <p>Documents are numbered from 0 in the order of the index; deleted ones are left out, and with them the terms that no
 * other document has. Postings are read twice, because the header stands first and counts them. Heap: 8 bytes a
 * document, and the longest posting list as it is written.
 *
 * <p>Lucene writes variable-length numbers, and longs, as protobuf does.
 *
 * @see <a href="https://github.com/osirrc/ciff">osirrc/ciff</a>, CommonIndexFileFormat.proto, for the numbers of fields
 */
public final class Ciff {
  private static final int VERSION = 1;
  private static final int VARINT = 0; // protobuf's wire types
  private static final int FIXED64 = 1;
  private static final int BYTES = 2;

  private final Job job;
  private final IndexReader reader;
  private final int[] numbers; // of each document in the file, -1 where it is deleted
  private final int[] lengths; // of each document, the sum of its impacts
  private final DataOutput output;
  private final ByteBuffersDataOutput message = ByteBuffersDataOutput.newResettableInstance();
  private final ByteBuffersDataOutput list = ByteBuffersDataOutput.newResettableInstance(); // its postings
  private long lists;
  private long postings;
  private int highest; // impact

  private Ciff(Job job, IndexReader reader, DataOutput output) {
    this.job = job;
    this.reader = reader;
    this.output = output;
    numbers = new int[reader.maxDoc()];
    lengths = new int[reader.maxDoc()];
    Bits live = MultiBits.getLiveDocs(reader);
    int number = 0;
    for (int document = 0; document < numbers.length; document++) {
      numbers[document] = live == null || live.get(document) ? number++ : -1;
    }
  }

  /**
   * Writes the last commit of an index into a file.
   *
   * @param description for the header, UTF-8
   * @return {@code int64[4]}: documents, posting lists, postings, the highest impact
   */
  public static Job write(String index, String file, byte[] description) {
    return Job.start(
        job -> {
          try (Directory directory = FSDirectory.open(Path.of(index));
              DirectoryReader reader = DirectoryReader.open(directory);
              OutputStreamDataOutput output =
                  new OutputStreamDataOutput(new BufferedOutputStream(Files.newOutputStream(Path.of(file)), 1 << 16))) {
            return new Ciff(job, reader, output).write(new BytesRef(description));
          }
        });
  }

  private byte[] write(BytesRef description) throws IOException {
    forEachList(this::count);
    header(description);
    forEachList(this::posting);
    documents();
    return Packed.pack(new long[] {reader.numDocs(), lists, postings, highest});
  }

  /** What is done with each posting of a document that is not deleted. */
  private interface Visitor {
    void visit(int document, int gap, int impact) throws IOException;
  }

  private void count(int document, int gap, int impact) {
    lengths[document] += impact; // Lucene, too, counts a document's length in an int
    highest = Math.max(highest, impact);
  }

  private void posting(int document, int gap, int impact) throws IOException {
    list.writeVInt(4 << 3 | BYTES);
    list.writeVInt(size(gap) + size(impact));
    field(list, 1, gap);
    field(list, 2, impact);
  }

  /** Visits all postings, list by list; what was written of a list, if anything, goes out with its counts. */
  private void forEachList(Visitor visitor) throws IOException {
    lists = 0;
    postings = 0;
    Terms terms = MultiTerms.getTerms(reader, Constants.CONTENTS);
    TermsEnum each = terms == null ? TermsEnum.EMPTY : terms.iterator();
    PostingsEnum found = null;
    for (BytesRef term = each.next(); term != null && !job.isCancelled(); term = each.next()) {
      found = each.postings(found, PostingsEnum.FREQS);
      long documents = 0;
      long sum = 0;
      int last = 0;
      while (found.nextDoc() != DocIdSetIterator.NO_MORE_DOCS) {
        int number = numbers[found.docID()];
        if (number >= 0) {
          visitor.visit(found.docID(), number - last, found.freq());
          documents++;
          sum += found.freq();
          last = number;
        }
      }
      if (documents > 0) {
        lists++;
        postings += documents;
      }
      if (list.size() > 0) {
        field(message, 1, term);
        field(message, 2, documents);
        field(message, 3, sum);
        send();
      }
    }
  }

  private void header(BytesRef description) throws IOException {
    long sum = 0;
    for (int length : lengths) {
      sum += length;
    }
    field(message, 1, VERSION);
    field(message, 2, Math.toIntExact(lists));
    field(message, 3, reader.numDocs());
    field(message, 4, lists); // of the whole collection: nothing is held back
    field(message, 5, reader.numDocs());
    field(message, 6, sum);
    if (sum > 0) {
      message.writeVInt(7 << 3 | FIXED64);
      message.writeLong(Double.doubleToLongBits((double) sum / reader.numDocs()));
    }
    field(message, 8, description);
    send();
  }

  private void documents() throws IOException {
    BinaryDocValues ids = MultiDocValues.getBinaryValues(reader, Constants.ID);
    for (int document = 0; document < numbers.length && !job.isCancelled(); document++) {
      if (numbers[document] >= 0) {
        if (ids == null || !ids.advanceExact(document)) {
          throw new IllegalArgumentException("document " + document + " has no doc values in field id");
        }
        field(message, 1, numbers[document]);
        field(message, 2, ids.binaryValue());
        field(message, 3, lengths[document]);
        send();
      }
    }
  }

  /** Writes the message that was put together, and the postings of a list behind it, and begins a new one. */
  private void send() throws IOException {
    output.writeVLong(message.size() + list.size());
    message.copyTo(output);
    list.copyTo(output);
    message.reset();
    list.reset();
  }

  /** As protobuf 3 writes it: nothing where it is 0. */
  private static void field(DataOutput to, int number, long value) throws IOException {
    if (value != 0) {
      to.writeVInt(number << 3 | VARINT);
      to.writeVLong(value);
    }
  }

  private static void field(DataOutput to, int number, BytesRef text) throws IOException {
    if (text.length > 0) {
      to.writeVInt(number << 3 | BYTES);
      to.writeVInt(text.length);
      to.writeBytes(text.bytes, text.offset, text.length);
    }
  }

  /** How many bytes such a field of a number takes. */
  private static int size(int value) {
    return value == 0 ? 0 : 1 + (Integer.SIZE - Integer.numberOfLeadingZeros(value) + 6) / 7;
  }
}
