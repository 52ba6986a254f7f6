/** Part of the coverage table of scripts/bench. */
public class Now {
    public static void main(String[] arguments) {
        System.out.println(System.currentTimeMillis() / 1000);
    }
}
