# The course with its data: for sweeps on a cluster, and for JupyterLab on a machine without Python. docs/environments.md
# The first stage alone is the development container's: it sets the course up in the folder that is being edited.
FROM python:3.12-slim AS machine
RUN apt-get update && apt-get install -y --no-install-recommends git make && rm -rf /var/lib/apt/lists/*

FROM machine
ARG TORCH_INDEX=""
WORKDIR /course
COPY . .
RUN pip install --no-cache-dir ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -c constraints.txt -e . && course data

EXPOSE 8888
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--allow-root", "--no-browser", "notebooks/00_start_here.ipynb"]
