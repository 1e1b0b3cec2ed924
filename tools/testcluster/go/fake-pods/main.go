// Answers for every pod whose address leads here, as its queue-proxy would: GET /metrics on port 9090 is the pod's load
// as protobuf. Ports 80 and 81 answer an autoscaler's probe as an activator does. Port 9100 tells what was asked:
// GET /counts is {"requests": N, "pods": N}, and POST /reset forgets the pods that were seen.
//
// It reads requests by hand: net/http would use more processor than the autoscaler that is measured with it.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

var (
	concurrency = flag.Float64("concurrency", 0.5, "requests in flight that every pod reports")
	rate        = flag.Float64("rate", 5, "requests per second that every pod reports")
	uptime      = flag.Float64("uptime", 3600, "seconds for which every pod says that it runs")

	requests atomic.Int64
	asked    sync.Map // a pod's address -> *atomic.Bool: whether it was asked since the last reset
)

func main() {
	flag.Parse()
	go serve(":80", activatorAnswer)
	go serve(":81", activatorAnswer)
	go serve(":9090", metricsAnswer)
	http.HandleFunc("GET /counts", func(to http.ResponseWriter, _ *http.Request) {
		pods := 0
		asked.Range(func(_, was any) bool {
			if was.(*atomic.Bool).Load() {
				pods++
			}
			return true
		})
		json.NewEncoder(to).Encode(map[string]int64{"requests": requests.Load(), "pods": int64(pods)})
	})
	http.HandleFunc("POST /reset", func(http.ResponseWriter, *http.Request) {
		asked.Range(func(_, was any) bool { was.(*atomic.Bool).Store(false); return true })
	})
	log.Fatal(http.ListenAndServe(":9100", nil))
}

// serve takes connections for ever; the answer to all requests on a connection depends on the address it came to.
func serve(address string, answerOf func(pod string) []byte) {
	listener, err := net.Listen("tcp4", address)
	if err != nil {
		log.Fatal(err)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		pod, _, _ := net.SplitHostPort(connection.LocalAddr().String())
		was, _ := asked.LoadOrStore(pod, new(atomic.Bool))
		go talk(connection, answerOf(pod), was.(*atomic.Bool))
	}
}

func talk(connection net.Conn, answer []byte, was *atomic.Bool) {
	defer connection.Close()
	reader := bufio.NewReaderSize(connection, 1024)
	for {
		last := false
		for {
			line, err := reader.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) <= 2 {
				break
			}
			last = last || bytes.EqualFold(bytes.TrimSpace(line), []byte("Connection: close"))
		}
		requests.Add(1)
		was.Store(true)
		if _, err := connection.Write(answer); err != nil || last {
			return
		}
	}
}

func metricsAnswer(pod string) []byte {
	return answer("application/protobuf", stat("pod-"+pod))
}

func activatorAnswer(string) []byte {
	return answer("text/plain; charset=utf-8", []byte("activator"))
}

func answer(contentType string, body []byte) []byte {
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", contentType, len(body))
	return append([]byte(head), body...)
}

// stat is a message `metrics.Stat` of Knative: pod_name 1, average_concurrent_requests 2, request_count 4, process_uptime 6.
func stat(pod string) []byte {
	body := append([]byte{1<<3 | 2, byte(len(pod))}, pod...)
	for _, field := range []struct {
		number byte
		value  float64
	}{{2, *concurrency}, {4, *rate}, {6, *uptime}} {
		body = append(body, field.number<<3|1)
		body = binary.LittleEndian.AppendUint64(body, math.Float64bits(field.value))
	}
	return body
}
